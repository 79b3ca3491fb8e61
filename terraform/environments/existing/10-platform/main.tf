terraform {
  required_version = ">= 1.9"
  required_providers {
    helm = {
      source  = "hashicorp/helm"
      version = "~> 3.0"
    }
    kubectl = {
      source  = "gavinbunney/kubectl"
      version = "~> 1.19"
    }
  }
}

provider "helm" {
  kubernetes = {
    config_path    = pathexpand(var.kubeconfig)
    config_context = var.context
  }
}

provider "kubectl" {
  config_path      = pathexpand(var.kubeconfig)
  config_context   = var.context
  load_config_file = true
}

module "platform" {
  source = "../../../modules/platform"

  domain     = var.domain
  versions   = var.versions
  monitoring = var.monitoring
}
