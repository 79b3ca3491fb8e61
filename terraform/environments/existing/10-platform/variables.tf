variable "kubeconfig" {
  description = "File with the access to the cluster."
  type        = string
  default     = "~/.kube/config"

  validation {
    condition     = fileexists(pathexpand(var.kubeconfig))
    error_message = "kubeconfig must be an existing file: the one that kubectl uses."
  }
}

variable "context" {
  description = "Context of that file; null: its current one."
  type        = string
  default     = null
}

variable "domain" {
  description = "Domain of the agents that are reached from outside: the gateway is http://gateway.NAMESPACE.DOMAIN."
  type        = string
}

variable "versions" {
  description = "Versions other than the platform module's."
  type        = map(string)
  default     = {}
}

variable "monitoring" {
  description = "Whether to install the Prometheus stack; false where the cluster has one."
  type        = bool
  default     = true
}
