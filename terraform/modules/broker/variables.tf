variable "namespace" {
  description = "Namespace that Kafka's nodes run in. The generated sources expect `kafka`."
  type        = string
  default     = "kafka"

  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", var.namespace))
    error_message = "namespace must be a Kubernetes name: lower-case letters, digits and hyphens, 63 at most, such as \"kafka\"."
  }
}

variable "name" {
  description = "Name of the Kafka cluster; the generated topics carry it as label strimzi.io/cluster."
  type        = string
  default     = "torpor"

  validation {
    condition     = can(regex("^[a-z]([-a-z0-9]{0,30}[a-z0-9])?$", var.name))
    error_message = "name must start with a letter and have lower-case letters, digits and hyphens only, 32 at most, such as \"torpor\"."
  }
}

variable "topics_namespace" {
  description = "Namespace whose KafkaTopics this cluster takes: the workflow's."
  type        = string
}

variable "nodes" {
  description = "Kafka nodes, each broker and controller. Topics have three replicas, of which two must have a record."
  type        = number
  default     = 3

  validation {
    condition     = contains([3, 5, 7], var.nodes)
    error_message = "nodes must be 3, 5 or 7: three replicas need three nodes, and KRaft's controllers vote, so their number is odd."
  }
}

variable "storage_gib" {
  description = "Size of each node's volume, GiB. It may grow later, where the storage class lets it, and never shrink."
  type        = number
  default     = 50

  validation {
    condition     = var.storage_gib >= 1 && floor(var.storage_gib) == var.storage_gib
    error_message = "storage_gib must be a whole number of GiB from 1 on, such as 50."
  }
}

variable "storage_class" {
  description = "Storage class of the nodes' volumes; null: the cluster's default."
  type        = string
  default     = null
}

variable "retention_hours" {
  description = "How long a topic that says nothing else keeps its records, hours."
  type        = number
  default     = 168

  validation {
    condition     = var.retention_hours >= 1
    error_message = "retention_hours must be 1 or more; 168 is a week."
  }
}

variable "resources" {
  description = "What each node asks for: CPU and memory; memory is its limit, too, and half of it is left to the page cache."
  type        = object({ cpu = string, memory_gib = number })
  default     = { cpu = "500m", memory_gib = 4 }

  validation {
    condition     = can(regex("^[0-9]+m?$", var.resources.cpu)) && var.resources.memory_gib >= 2
    error_message = "resources.cpu must be a quantity such as \"500m\" or \"2\", resources.memory_gib 2 or more."
  }
}

variable "authority" {
  description = "Certificate authority that signs the nodes' certificates: certificate and key (PKCS #8) as PEM. Whoever has the key can pass for Kafka."
  type        = object({ certificate = string, key = string })
  sensitive   = true

  validation {
    condition     = startswith(var.authority.certificate, "-----BEGIN CERTIFICATE-----")
    error_message = "authority.certificate must be a certificate as PEM, beginning with -----BEGIN CERTIFICATE-----."
  }
  validation {
    condition     = startswith(var.authority.key, "-----BEGIN PRIVATE KEY-----")
    error_message = "authority.key must be a key as PEM in PKCS #8, beginning with -----BEGIN PRIVATE KEY----- (openssl pkcs8 -topk8 -nodes makes it of others)."
  }
}

variable "password" {
  description = "Password of the user that Eventing speaks to Kafka as."
  type        = string
  sensitive   = true

  validation {
    condition     = length(var.password) >= 24
    error_message = "password must have 24 characters or more; `openssl rand -hex 24` makes one."
  }
}
