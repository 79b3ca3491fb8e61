output "credentials_command" {
  description = "Command that writes the cluster into your kubeconfig."
  value       = module.cluster.credentials_command
}

output "context" {
  description = "Context for the next two roots."
  value       = module.cluster.context
}
