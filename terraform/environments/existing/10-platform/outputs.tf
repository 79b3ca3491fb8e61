output "domain" {
  description = "What the next root's variable domain must be."
  value       = module.platform.domain
}
