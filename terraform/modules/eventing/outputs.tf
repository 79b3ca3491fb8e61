output "namespace" {
  description = "Namespace of the workflow; known once it exists."
  value       = var.namespace
  depends_on  = [kubectl_manifest.namespace, kubectl_manifest.ground, kubectl_manifest.secrets]
}

output "pull_secret" {
  description = "Name of the Secret by which images are read; null: they are read without."
  value       = local.login ? local.pull_secret : null
}

output "applied" {
  description = "Every generated resource that is applied, as KIND/NAME."
  value       = keys(local.applied)
}

output "images" {
  description = "Which image each agent runs."
  value = {
    for key, text in local.stages.agents : local.resources[key].metadata.name => yamldecode(text).spec.template.spec.containers[0].image
  }
}
