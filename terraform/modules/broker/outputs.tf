output "bootstrap_servers" {
  description = "Where clients inside the cluster reach Kafka: TLS with SCRAM-SHA-512."
  value       = "${var.name}-kafka-bootstrap.${var.namespace}.svc.cluster.local:${local.tls}"
}

output "credentials" {
  description = "User, password and certificate authority for those who speak to Kafka."
  sensitive   = true
  value = {
    user      = local.user
    password  = var.password
    authority = var.authority.certificate
  }
  depends_on = [kubectl_manifest.user]
}
