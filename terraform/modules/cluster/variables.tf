variable "project" {
  description = "Google Cloud project."
  type        = string

  validation {
    condition     = can(regex("^[a-z][-a-z0-9]{4,28}[a-z0-9]$", var.project))
    error_message = "project must be a project's id, such as \"my-project-1\": 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "region" {
  description = "Region of the cluster, with the GPUs wanted."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be a region such as \"europe-west4\", not a zone."
  }
}

variable "gpu_zones" {
  description = "Zones of the region that have the accelerator."
  type        = list(string)

  validation {
    condition     = length(var.gpu_zones) > 0 && alltrue([for zone in var.gpu_zones : can(regex("^[a-z]+-[a-z]+[0-9]+-[a-z]$", zone))])
    error_message = "gpu_zones must name at least one zone, such as [\"europe-west4-a\"]."
  }
}

variable "name" {
  description = "Name of the cluster and what belongs to it."
  type        = string
  default     = "torpor"

  validation {
    condition     = can(regex("^[a-z][-a-z0-9]{0,22}[a-z0-9]$", var.name))
    error_message = "name must be 2 to 24 lower-case letters, digits and hyphens, and begin with a letter."
  }
}

variable "authorized_networks" {
  description = "Networks that may reach the cluster's API, as CIDR by name."
  type        = map(string)

  validation {
    condition     = length(var.authorized_networks) > 0 && alltrue([for cidr in values(var.authorized_networks) : can(cidrhost(cidr, 0))])
    error_message = "authorized_networks must hold at least one CIDR, such as { office = \"203.0.113.0/24\" }: from elsewhere the API cannot be reached."
  }
}

variable "cpu_pool" {
  description = "Nodes for all but models: machine type, least and most nodes in each zone."
  type        = object({ machine = string, min = number, max = number })
  default     = { machine = "e2-standard-4", min = 1, max = 3 }

  validation {
    condition     = var.cpu_pool.min >= 1 && var.cpu_pool.max >= var.cpu_pool.min
    error_message = "cpu_pool.min must be 1 or more (Kafka has a node in each of three zones), cpu_pool.max no less than min."
  }
}

variable "gpu_pool" {
  description = "Nodes for models: machine type, accelerator and how many a node has, most nodes in each zone. There are none until a pod wants one."
  type        = object({ machine = string, accelerator = string, count = number, max = number })
  default     = { machine = "a2-highgpu-1g", accelerator = "nvidia-tesla-a100", count = 1, max = 1 }

  validation {
    condition     = var.gpu_pool.count >= 1 && var.gpu_pool.max >= 1
    error_message = "gpu_pool.count and gpu_pool.max must be 1 or more."
  }
}

variable "deletion_protection" {
  description = "Whether `terraform destroy` is refused."
  type        = bool
  default     = true
}
