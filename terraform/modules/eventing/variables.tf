variable "manifests" {
  description = "Folder of a workflow's generated manifests (eventing/manifests/<workflow>). Every *.yaml in it is applied."
  type        = string

  validation {
    condition     = length(fileset(var.manifests, "*.yaml")) > 0
    error_message = "manifests must be a folder with *.yaml in it: the one that `make manifests` writes, such as eventing/manifests/research."
  }
}

variable "namespace" {
  description = "Namespace of the workflow, as its manifests name it."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", var.namespace))
    error_message = "namespace must be a Kubernetes name: lower-case letters, digits and hyphens, 63 at most, such as \"torpor\"."
  }
}

variable "kafka" {
  description = "Where Kafka is and who speaks to it: the broker module's outputs."
  type = object({
    bootstrap_servers = string
    user              = string
    password          = string
    authority         = string
  })
  sensitive = true

  validation {
    condition     = can(regex("^[^,:]+:[0-9]+(,[^,:]+:[0-9]+)*$", var.kafka.bootstrap_servers))
    error_message = "kafka.bootstrap_servers must be HOST:PORT, several of them with commas between."
  }
}

variable "registry" {
  description = "Registry and path that the agents' images were pushed to, without a slash at the end."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.:/_-]*[a-z0-9]$", var.registry))
    error_message = "registry must be a registry and path such as \"registry.example.com/torpor\", without scheme and without a slash at the end."
  }
}

variable "registry_login" {
  description = "Who reads images from the registry; null: it asks for no login, or the nodes have their own."
  type        = object({ username = string, password = string })
  sensitive   = true
  default     = null

  validation {
    condition     = try(length(var.registry_login.username) > 0 && length(var.registry_login.password) > 0, var.registry_login == null)
    error_message = "registry_login must have a username and a password, or be null."
  }
}

variable "tag" {
  description = "Tag of the agents' images."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", var.tag)) && var.tag != "latest"
    error_message = "tag must be an image tag such as \"0.1.0\", and not \"latest\": what runs must not change by itself."
  }
}

variable "images" {
  description = "Image of single agents by their Kubernetes name, in place of REGISTRY/NAME:TAG; a digest here is the best pin."
  type        = map(string)
  default     = {}
}

variable "environment" {
  description = "Values for environment variables that an agent's func.yaml sets, by name (TORPOR_INGRESS, TORPOR_STORE)."
  type        = map(string)
  default     = {}
}

variable "settings" {
  description = "The ConfigMap `settings` that agents read: `public-url` (where people reach the gateway), and where they are wanted `sources` (a collection of documents), `web` (sources of the web with commas between them), `web-contact` (the address that they are told), `judge` and `writer` (models of the pools). One that is left out is none."
  type        = map(string)

  validation {
    condition     = contains(keys(var.settings), "public-url")
    error_message = "settings must hold public-url; without it links in mails lead nowhere."
  }
}

variable "secrets" {
  description = "Secrets that agents read, by name, then key: `store` (endpoint, region, access-key-id, secret-access-key), `mail` (smtp, from), `model` (key)."
  type        = map(map(string))
  sensitive   = true
  default     = {}

  validation {
    condition     = !contains(keys(var.secrets), "kafka")
    error_message = "secrets must not hold `kafka`: that one is made from the variable kafka."
  }
}
