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
  description = "Domain of the agents that are reached from outside, as in the platform's root."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9]([-a-z0-9]*[a-z0-9])?\\.)+[a-z]{2,}$", var.domain))
    error_message = "domain must be a DNS name such as \"torpor.example.com\"."
  }
}

variable "namespace" {
  description = "Namespace of the workflow, as its manifests name it."
  type        = string
  default     = "torpor"
}

variable "manifests" {
  description = "Folder of the workflow's generated manifests; null: the research workflow's."
  type        = string
  default     = null
}

variable "registry" {
  description = "Registry and path that the images were pushed to, without a slash at the end."
  type        = string
}

variable "registry_login" {
  description = "Who reads images from the registry; null: it asks for no login, or the nodes have their own."
  type        = object({ username = string, password = string })
  sensitive   = true
  default     = null
}

variable "tag" {
  description = "Tag of the images."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", var.tag)) && var.tag != "latest"
    error_message = "tag must be an image tag such as \"0.1.0\", and not \"latest\": what runs must not change by itself."
  }
}

variable "images" {
  description = "Image of single agents by their Kubernetes name, in place of REGISTRY/NAME:TAG."
  type        = map(string)
  default     = {}
}

variable "scheduler_image" {
  description = "Image of the scheduler; null: REGISTRY/scheduler:TAG."
  type        = string
  default     = null
}

variable "kafka" {
  description = "Kafka's namespace, the size of each node's volume and how long topics keep their records."
  type = object({
    namespace       = optional(string, "kafka")
    storage_gib     = optional(number, 50)
    retention_hours = optional(number, 168)
  })
  default = {}
}

variable "kafka_authority" {
  description = "Files of Kafka's certificate authority, PEM: certificate and key (docs/terraform.md says how they are made)."
  type        = object({ certificate = string, key = string })

  validation {
    condition     = fileexists(var.kafka_authority.certificate) && fileexists(var.kafka_authority.key)
    error_message = "kafka_authority.certificate and kafka_authority.key must be existing files (openssl req -x509, docs/terraform.md)."
  }
}

variable "kafka_password" {
  description = "Password of the user that Eventing speaks to Kafka as, 24 characters or more."
  type        = string
  sensitive   = true
}

variable "storage_class" {
  description = "Storage class of all volumes; null: the cluster's default."
  type        = string
  default     = null
}

variable "store" {
  description = "The bucket: its URL (s3://BUCKET), endpoint, region and keys. It must know conditional creation (If-None-Match)."
  type = object({
    url               = string
    endpoint          = string
    region            = string
    access_key_id     = string
    secret_access_key = string
  })
  sensitive = true

  validation {
    condition     = can(regex("^s3://[^/]+", var.store.url)) && can(regex("^https?://[^/]+$", var.store.endpoint))
    error_message = "store.url must be s3://BUCKET, store.endpoint a URL without a path such as https://s3.eu-central-1.amazonaws.com."
  }
}

variable "mail" {
  description = "Where mails are handed in (an SMTP URL) and whom they are from."
  type        = object({ smtp = string, from = string })
  sensitive   = true

  validation {
    condition     = can(regex("^smtp(s|\\+starttls)?://[^/]+", var.mail.smtp)) && can(regex("^[^@ ]+@[^@ ]+$", var.mail.from))
    error_message = "mail.smtp must be a URL such as smtp+starttls://user:password@mail.example.com:587, mail.from an address."
  }
}

variable "sources" {
  description = "Collection of documents that requests use which name none, as `torpor ask --sources` puts it into the bucket and names it."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^([A-Za-z0-9][A-Za-z0-9._-]*)?$", var.sources))
    error_message = "sources must be a collection's name such as \"post-quantum-1f2e3d4c\", or \"\" for none."
  }
}

variable "web" {
  description = "Sources of the web that the research assistant asks (docs/sources.md), and the address that their hosts are told; none by default."
  type = object({
    sources = optional(list(string), [])
    contact = optional(string, "")
  })
  default = {}

  validation {
    condition     = length(setsubtract(var.web.sources, ["wikipedia", "arxiv", "openalex", "searxng", "pages"])) == 0
    error_message = "web.sources must hold none but wikipedia, arxiv, openalex, searxng and pages."
  }

  validation {
    condition     = length(var.web.sources) == 0 || can(regex("^[^@ ]+@[^@ ]+$", var.web.contact))
    error_message = "web.contact must be an e-mail address where web.sources names any: without it no host is asked."
  }
}

variable "models" {
  description = "Models of the pools that are named for a work of their own: `judge` checks statements (docs/checks.md), `writer` writes them from several passages at once (docs/sources.md); without it the default model does all as far as it is trusted."
  type = object({
    judge  = optional(string, "")
    writer = optional(string, "")
  })
  default = {}

  validation {
    condition     = alltrue([for name in values(var.models) : can(regex("^\\S*$", name))])
    error_message = "models.judge and models.writer must be names of models as the pools list them, without blanks, or \"\" for the default."
  }
}

variable "pools" {
  description = "File of the scheduler's pools (docs/models.md); null: one vLLM on a GPU of this cluster."
  type        = string
  default     = null

  validation {
    condition     = var.pools == null || try(fileexists(var.pools), false)
    error_message = "pools must be an existing file, or null for a vLLM on this cluster."
  }
}

variable "model_keys" {
  description = "API keys by the names that the pools' key_env give them; VLLM_API_KEY is given to vLLM, too."
  type        = map(string)
  default     = {}
  sensitive   = true
}

variable "models_namespace" {
  description = "Namespace that vLLM runs in."
  type        = string
  default     = "torpor-models"
}

variable "model_servers" {
  description = "0 or 1 vLLM. With 0 the GPU goes back, and calls wait."
  type        = number
  default     = 1
}

variable "models_gib" {
  description = "Size of the model cache's volume, GiB."
  type        = number
  default     = 50
}

variable "journal_gib" {
  description = "Size of the volume of the scheduler's journal, GiB."
  type        = number
  default     = 10
}

variable "gpu_nodes" {
  description = "Labels of the nodes that vLLM may run on; on the GKE cluster of this repository { \"torpor.dev/gpu\" = \"true\" }."
  type        = map(string)
  default     = {}
}
