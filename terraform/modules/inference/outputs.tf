output "scheduler_url" {
  description = "OpenAI's API as the agents see it."
  value       = "http://scheduler.${var.namespace}.svc.cluster.local/v1"
}

output "model_servers" {
  description = "How many model servers run, each on a GPU."
  value       = var.serving == null ? 0 : var.model_servers
}
