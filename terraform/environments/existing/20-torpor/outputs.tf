output "gateway_url" {
  description = "Where requests are posted: GATEWAY_URL/research."
  value       = local.gateway_url
}

output "bootstrap_servers" {
  description = "Kafka, from inside the cluster."
  value       = module.broker.bootstrap_servers
}

output "scheduler_url" {
  description = "The scheduler, from inside the cluster."
  value       = module.inference.scheduler_url
}

output "applied" {
  description = "Every resource of the workflow that is applied."
  value       = module.eventing.applied
}

output "images" {
  description = "Which image each agent runs."
  value       = module.eventing.images
}
