output "bootstrap_servers" {
  description = "Where clients inside the cluster reach Kafka: TLS with SCRAM-SHA-512."
  value       = "${var.name}-kafka-bootstrap.${var.namespace}.svc.cluster.local:${local.tls}"
}

output "credentials" {
  description = "User, password and certificate authority for those who speak to Kafka."
  sensitive   = true
  value = {
    user      = local.user
    password  = random_password.user.result
    authority = tls_self_signed_cert.authority.cert_pem
  }
  depends_on = [kubectl_manifest.user]
}
