locals {
  labels = { "app.kubernetes.io/part-of" = "torpor" }

  documents = flatten([
    for file in fileset(var.manifests, "*.yaml") : [
      for text in split("\n---\n", file("${var.manifests}/${file}")) : yamldecode(text) if can(regex("(?m)^kind:", text))
    ]
  ])
  resources = { for found in local.documents : "${found.kind}/${found.metadata.name}" => found if found.kind != "Kustomization" }

  # The settings that each resource asks for, by their keys.
  asked = {
    for key, found in local.resources : key => flatten([
      for container in try(found.spec.template.spec.containers, []) : [
        for set in try(container.env, []) : set.valueFrom.configMapKeyRef.key
        if try(set.valueFrom.configMapKeyRef.name, "") == "settings"
      ]
    ])
  }

  # Each of them is there, empty where it is none: without its key the agent's pod would not start.
  settings = toset(flatten(values(local.asked)))

  # What an agent's pods take up when they are made, as a digest: another one is another revision, else they would keep the old one.
  taken = {
    for key, names in local.asked : key => sha256(jsonencode([local.login, { for name in names : name => lookup(var.settings, name, "") }]))
    if startswith(local.resources[key].apiVersion, "serving.knative.dev/")
  }

  kafka_config = { apiVersion = "v1", kind = "ConfigMap", name = "kafka", namespace = var.namespace }
  kafka_net = {
    sasl = { enable = true, type = local.kafka_key["sasl.mechanism"], user = local.kafka_key["user"], password = local.kafka_key["password"] }
    tls  = { enable = true, caCert = local.kafka_key["ca.crt"] }
  }
  kafka_key = {
    for key in ["sasl.mechanism", "user", "password", "ca.crt"] : key => { secretKeyRef = { name = "kafka", key = key } }
  }
  login             = nonsensitive(var.registry_login != null)
  pull_secret       = "registry"
  bootstrap_servers = split(",", nonsensitive(var.kafka.bootstrap_servers))

  # What only the environment knows is put in; all else is applied as it was generated.
  applied = {
    for key, found in local.resources : key => (
      found.kind == "Broker" ? yamlencode(merge(found, { spec = merge(found.spec, { config = local.kafka_config }) })) :
      found.kind == "KafkaSource" ? yamlencode(merge(found, {
        spec = merge(found.spec, { bootstrapServers = local.bootstrap_servers, net = local.kafka_net })
      })) :
      found.kind == "ServiceAccount" && local.login ? yamlencode(merge(found, { imagePullSecrets = [{ name = local.pull_secret }] })) :
      startswith(found.apiVersion, "serving.knative.dev/") ? yamlencode(merge(found, {
        spec = merge(found.spec, {
          template = merge(found.spec.template, {
            metadata = merge(try(found.spec.template.metadata, {}), {
              annotations = merge(try(found.spec.template.metadata.annotations, {}), { "torpor.dev/settings" = local.taken[key] })
            })
            spec = merge(found.spec.template.spec, {
              containers = [for container in found.spec.template.spec.containers : merge(container, {
                image = lookup(var.images, found.metadata.name, "${var.registry}/${found.metadata.name}:${var.tag}")
                env = [for set in try(container.env, []) : jsondecode(
                  contains(keys(var.environment), set.name) ? jsonencode({ name = set.name, value = var.environment[set.name] }) : jsonencode(set)
                )]
              })]
            })
          })
        })
      })) :
      yamlencode(found)
    )
  }

  stage = {
    for key, found in local.resources : key => (
      found.kind == "Namespace" ? "namespace" :
      contains(["ServiceAccount", "NetworkPolicy", "ConfigMap"], found.kind) ? "ground" :
      found.kind == "KafkaTopic" ? "topics" :
      found.kind == "Broker" ? "brokers" :
      startswith(found.apiVersion, "serving.knative.dev/") ? "agents" : "deliveries"
    )
  }
  stages = {
    for name in ["ground", "topics", "brokers", "agents", "deliveries"] : name => {
      for key, text in local.applied : key => text if local.stage[key] == name
    }
  }
  elsewhere = [
    for key, found in local.resources : key
    if(found.kind == "Namespace" ? found.metadata.name : try(found.metadata.namespace, null)) != var.namespace
  ]
  strangers = setsubtract(keys(var.images), [for key, found in local.resources : found.metadata.name if local.stage[key] == "agents"])
}

resource "kubectl_manifest" "namespace" {
  wait = true
  yaml_body = try(local.applied["Namespace/${var.namespace}"], yamlencode({
    apiVersion = "v1"
    kind       = "Namespace"
    metadata   = { name = var.namespace, labels = local.labels }
  }))

  lifecycle {
    precondition {
      condition     = length(local.elsewhere) == 0
      error_message = "Not in namespace ${var.namespace}, but in ${var.manifests}: ${join(", ", local.elsewhere)}. Let namespace be the one that the manifests name."
    }
    precondition {
      condition     = length(local.strangers) == 0
      error_message = "images names what is no agent in ${var.manifests}: ${join(", ", local.strangers)}."
    }
  }
}

resource "kubectl_manifest" "secrets" {
  for_each = toset(nonsensitive(keys(var.secrets)))

  sensitive_fields = ["data"]
  yaml_body = yamlencode({
    apiVersion = "v1"
    kind       = "Secret"
    type       = "Opaque"
    metadata   = { name = each.key, namespace = var.namespace, labels = local.labels }
    data       = { for key, value in var.secrets[each.key] : key => base64encode(value) }
  })
  depends_on = [kubectl_manifest.namespace]
}

resource "kubectl_manifest" "registry_login" {
  count = local.login ? 1 : 0

  sensitive_fields = ["data"]
  yaml_body = yamlencode({
    apiVersion = "v1"
    kind       = "Secret"
    type       = "kubernetes.io/dockerconfigjson"
    metadata   = { name = local.pull_secret, namespace = var.namespace, labels = local.labels }
    data       = { ".dockerconfigjson" = base64encode(jsonencode({ auths = { (split("/", var.registry)[0]) = var.registry_login } })) }
  })
  depends_on = [kubectl_manifest.namespace]
}

resource "kubectl_manifest" "settings" {
  yaml_body = yamlencode({
    apiVersion = "v1"
    kind       = "ConfigMap"
    metadata   = { name = "settings", namespace = var.namespace, labels = local.labels }
    data       = merge({ for name in local.settings : name => "" }, var.settings)
  })

  depends_on = [kubectl_manifest.namespace]
}

resource "kubectl_manifest" "kafka_secret" {
  sensitive_fields = ["data"]
  yaml_body = yamlencode({
    apiVersion = "v1"
    kind       = "Secret"
    type       = "Opaque"
    metadata   = { name = "kafka", namespace = var.namespace, labels = local.labels }
    data = {
      protocol         = base64encode("SASL_SSL")
      "sasl.mechanism" = base64encode("SCRAM-SHA-512")
      user             = base64encode(var.kafka.user)
      password         = base64encode(var.kafka.password)
      "ca.crt"         = base64encode(var.kafka.authority)
    }
  })
  depends_on = [kubectl_manifest.namespace]
}

resource "kubectl_manifest" "kafka_config" {
  yaml_body = yamlencode({
    apiVersion = "v1"
    kind       = "ConfigMap"
    metadata   = { name = "kafka", namespace = var.namespace, labels = local.labels }
    data = {
      "bootstrap.servers"                = join(",", local.bootstrap_servers)
      "auth.secret.ref.name"             = "kafka"
      "default.topic.partitions"         = "6"
      "default.topic.replication.factor" = "3"
    }
  })
  depends_on = [kubectl_manifest.kafka_secret]
}

resource "kubectl_manifest" "ground" {
  for_each = local.stages.ground

  yaml_body  = each.value
  depends_on = [kubectl_manifest.namespace]
}

resource "kubectl_manifest" "topics" {
  for_each = local.stages.topics

  wait       = true
  yaml_body  = each.value
  depends_on = [kubectl_manifest.namespace]
}

resource "kubectl_manifest" "brokers" {
  for_each = local.stages.brokers

  wait       = true
  yaml_body  = each.value
  depends_on = [kubectl_manifest.kafka_config, kubectl_manifest.topics]
}

resource "kubectl_manifest" "agents" {
  for_each = local.stages.agents

  wait       = true
  yaml_body  = each.value
  depends_on = [kubectl_manifest.ground, kubectl_manifest.secrets, kubectl_manifest.settings, kubectl_manifest.registry_login]
}

resource "kubectl_manifest" "deliveries" {
  for_each = local.stages.deliveries

  wait       = true
  yaml_body  = each.value
  depends_on = [kubectl_manifest.agents, kubectl_manifest.brokers]
}
