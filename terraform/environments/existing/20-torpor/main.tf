terraform {
  required_version = ">= 1.9"
  required_providers {
    kubectl = {
      source  = "gavinbunney/kubectl"
      version = "~> 1.19"
    }
  }
}

provider "kubectl" {
  config_path      = pathexpand(var.kubeconfig)
  config_context   = var.context
  load_config_file = true
}

data "kubectl_server_version" "cluster" {
  lifecycle {
    postcondition {
      condition     = tonumber(regex("^[0-9]+", self.minor)) >= 30 || tonumber(self.major) > 1
      error_message = "The cluster has Kubernetes ${self.version}; Torpor's platform needs 1.30 or newer."
    }
  }
}

locals {
  repository  = "${path.module}/../../../.."
  gateway_url = "http://gateway.${var.namespace}.${var.domain}"
  ingress     = "http://kafka-broker-ingress.knative-eventing.svc.cluster.local/${var.namespace}"
  vllm        = var.pools == null
  pools = local.vllm ? yamlencode({
    pools = [{
      name   = "gpu"
      models = ["default", "qwen2.5-7b-instruct"]
      servers = [merge(
        {
          name  = "vllm"
          url   = "http://vllm.${var.models_namespace}.svc.cluster.local:8000/v1"
          kind  = "vllm"
          model = "qwen2.5-7b-instruct"
          slots = 64
        },
        { for name in nonsensitive(keys(var.model_keys)) : "key_env" => name if name == "VLLM_API_KEY" },
      )]
    }]
  }) : file(var.pools)
}

module "broker" {
  source = "../../../modules/broker"

  namespace        = var.kafka.namespace
  topics_namespace = var.namespace
  storage_gib      = var.kafka.storage_gib
  storage_class    = var.storage_class
  retention_hours  = var.kafka.retention_hours
  password         = var.kafka_password
  authority = {
    certificate = file(var.kafka_authority.certificate)
    key         = file(var.kafka_authority.key)
  }
}

module "eventing" {
  source = "../../../modules/eventing"

  manifests = coalesce(var.manifests, "${local.repository}/eventing/manifests/research")
  namespace = var.namespace
  registry  = var.registry
  tag       = var.tag
  images    = var.images

  registry_login = var.registry_login
  kafka = {
    bootstrap_servers = module.broker.bootstrap_servers
    user              = module.broker.credentials.user
    password          = module.broker.credentials.password
    authority         = module.broker.credentials.authority
  }
  settings = {
    "public-url"  = local.gateway_url
    sources       = var.sources
    web           = join(",", var.web.sources)
    "web-contact" = var.web.contact
    judge         = var.models.judge
    writer        = var.models.writer
  }
  environment = {
    TORPOR_STORE     = nonsensitive(var.store.url)
    TORPOR_INGRESS   = local.ingress
    TORPOR_MODEL_URL = "http://scheduler.${var.namespace}.svc.cluster.local/v1"
  }
  secrets = {
    store = {
      endpoint            = var.store.endpoint
      region              = var.store.region
      "access-key-id"     = var.store.access_key_id
      "secret-access-key" = var.store.secret_access_key
    }
    mail  = { smtp = var.mail.smtp, from = var.mail.from }
    model = { key = "none" } # the scheduler asks agents for no key
  }
}

module "inference" {
  source = "../../../modules/inference"

  namespace        = module.eventing.namespace
  models_namespace = var.models_namespace
  serving          = local.vllm ? "${local.repository}/inference/serving/vllm.yaml" : null
  model_servers    = var.model_servers
  models_volume    = { gib = var.models_gib, class = var.storage_class }
  gpu_nodes        = var.gpu_nodes
  pools            = local.pools
  keys             = var.model_keys
  image            = coalesce(var.scheduler_image, "${var.registry}/scheduler:${var.tag}")
  pull_secret      = module.eventing.pull_secret
  journal          = { gib = var.journal_gib, class = var.storage_class }
  store            = nonsensitive(var.store.url)
  ingress          = local.ingress
}
