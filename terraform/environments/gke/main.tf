terraform {
  required_version = ">= 1.9"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.0"
    }
  }
}

provider "google" {
  project = var.project
  region  = var.region
}

module "cluster" {
  source = "../../modules/cluster"

  project             = var.project
  region              = var.region
  gpu_zones           = var.gpu_zones
  name                = var.name
  authorized_networks = var.authorized_networks
  deletion_protection = var.deletion_protection
}
