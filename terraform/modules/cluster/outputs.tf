output "name" {
  description = "Name of the cluster."
  value       = google_container_cluster.this.name
}

output "credentials_command" {
  description = "Command that writes the cluster into your kubeconfig."
  value       = "gcloud container clusters get-credentials ${google_container_cluster.this.name} --region ${var.region} --project ${var.project}"
}

output "context" {
  description = "The context's name that the command gives it."
  value       = "gke_${var.project}_${var.region}_${google_container_cluster.this.name}"
}

output "workload_pool" {
  description = "Workload identity pool of the cluster."
  value       = "${var.project}.svc.id.goog"
}
