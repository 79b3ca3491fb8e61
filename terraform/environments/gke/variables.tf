variable "project" {
  description = "Google Cloud project."
  type        = string
}

variable "region" {
  description = "Region of the cluster, with the GPUs wanted."
  type        = string
}

variable "gpu_zones" {
  description = "Zones of the region that have the accelerator."
  type        = list(string)
}

variable "name" {
  description = "Name of the cluster and what belongs to it."
  type        = string
  default     = "torpor"
}

variable "authorized_networks" {
  description = "Networks that may reach the cluster's API, as CIDR by name."
  type        = map(string)
}

variable "deletion_protection" {
  description = "Whether `terraform destroy` is refused."
  type        = bool
  default     = true
}
