output "domain" {
  description = "Domain of the agents that are reached from outside."
  value       = var.domain
}

output "versions" {
  description = "What was installed."
  value       = var.versions
}
