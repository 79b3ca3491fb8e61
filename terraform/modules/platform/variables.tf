variable "versions" {
  description = "Versions of the charts and of Knative. Strimzi must be 1.0.0 or newer: Torpor's topics are kafka.strimzi.io/v1."
  type = object({
    strimzi          = optional(string, "1.0.0")
    keda             = optional(string, "2.18.0")
    prometheus       = optional(string, "67.8.0")
    knative_operator = optional(string, "v1.22.3")
    knative          = optional(string, "1.22")
  })
  default = {}

  validation {
    condition     = can(regex("^[1-9][0-9]*\\.[0-9]+\\.[0-9]+$", var.versions.strimzi))
    error_message = "versions.strimzi must be 1.0.0 or newer: older ones do not serve kafka.strimzi.io/v1."
  }
}

variable "domain" {
  description = "Domain of the agents that are reached from outside: the gateway is http://gateway.NAMESPACE.DOMAIN."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9]([-a-z0-9]*[a-z0-9])?\\.)+[a-z]{2,}$", var.domain))
    error_message = "domain must be a DNS name such as \"torpor.example.com\"; its wildcard record *.NAMESPACE.DOMAIN points to Kourier's load balancer."
  }
}

variable "max_poll_interval_s" {
  description = "How long a consumer of Eventing may be between two polls, seconds: more than all retries of one event take."
  type        = number
  default     = 28800

  validation {
    condition     = var.max_poll_interval_s >= 26240 && var.max_poll_interval_s <= 2147483
    error_message = "max_poll_interval_s must be from 26240 (41 tries of 600 s and 40 pauses of 2 s x n) to 2147483 (what Kafka's client takes)."
  }
}

variable "monitoring" {
  description = "Whether to install the Prometheus stack; false where the cluster has one."
  type        = bool
  default     = true
}
