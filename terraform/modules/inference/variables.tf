variable "namespace" {
  description = "Namespace of the agents and their scheduler; it must exist."
  type        = string
}

variable "models_namespace" {
  description = "Namespace that vLLM runs in, made here. It is one of its own, since vLLM's image runs as root."
  type        = string
  default     = "torpor-models"

  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", var.models_namespace))
    error_message = "models_namespace must be a Kubernetes name: lower-case letters, digits and hyphens, 63 at most."
  }
}

variable "serving" {
  description = "File of the model server's manifest (inference/serving/vllm.yaml); null: no model server, the pools name others."
  type        = string

  validation {
    condition     = var.serving == null || try(fileexists(var.serving), false)
    error_message = "serving must be an existing file, such as inference/serving/vllm.yaml, or null."
  }
}

variable "model_servers" {
  description = "Model servers, a GPU each. 0 gives the GPU back; calls then wait in the scheduler, or go to a fallback pool."
  type        = number
  default     = 1

  validation {
    condition     = contains([0, 1], var.model_servers)
    error_message = "model_servers must be 0 or 1: the volume of the models is for one node. More servers need a manifest and pools of their own."
  }
}

variable "models_volume" {
  description = "Size of the model cache's volume, GiB, and its storage class (null: the cluster's default)."
  type        = object({ gib = number, class = optional(string) })
  default     = { gib = 50 }

  validation {
    condition     = var.models_volume.gib >= 1
    error_message = "models_volume.gib must be 1 or more."
  }
}

variable "gpu_nodes" {
  description = "Labels of the nodes that a model server may run on; empty: any with a GPU."
  type        = map(string)
  default     = {}
}

variable "pools" {
  description = "The scheduler's pools file, YAML as docs/models.md describes it."
  type        = string

  validation {
    condition     = can(length(yamldecode(var.pools).pools)) && try(length(yamldecode(var.pools).pools) > 0, false)
    error_message = "pools must be YAML with a list `pools` of at least one pool (docs/models.md)."
  }
}

variable "keys" {
  description = "API keys by the names that the pools' key_env give them; VLLM_API_KEY is given to vLLM, too."
  type        = map(string)
  default     = {}
  sensitive   = true
}

variable "image" {
  description = "Image of the scheduler."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.:/_-]*(:[A-Za-z0-9_][A-Za-z0-9_.-]*|@sha256:[0-9a-f]{64})$", var.image)) && !endswith(var.image, ":latest")
    error_message = "image must be an image with a tag or a digest such as \"registry.example.com/torpor/scheduler:0.1.0\", and not \":latest\"."
  }
}

variable "pull_secret" {
  description = "Name of the Secret by which the scheduler's image is read; null: it is read without."
  type        = string
  default     = null
}

variable "journal" {
  description = "Size of the volume of the scheduler's journal, GiB, and its storage class (null: the cluster's default)."
  type        = object({ gib = number, class = optional(string) })
  default     = { gib = 10 }

  validation {
    condition     = var.journal.gib >= 1
    error_message = "journal.gib must be 1 or more."
  }
}

variable "store" {
  description = "URL of the store that final answers go to, such as s3://torpor; its keys come from the secret `store`."
  type        = string

  validation {
    condition     = can(regex("^(s3|gs|az)://[^/]+", var.store))
    error_message = "store must be a bucket's URL: s3://BUCKET, gs://BUCKET or az://CONTAINER."
  }
}

variable "ingress" {
  description = "Where the scheduler publishes its own events: the URL of the Kafka brokers' ingress for the namespace."
  type        = string

  validation {
    condition     = can(regex("^https?://[^/]+/.+", var.ingress))
    error_message = "ingress must be a URL such as http://kafka-broker-ingress.knative-eventing.svc.cluster.local/torpor."
  }
}
