locals {
  labels = { "app.kubernetes.io/part-of" = "torpor", "app.kubernetes.io/name" = "scheduler" }
  select = { "app.kubernetes.io/name" = "scheduler" }
  server = { "app.kubernetes.io/name" = "vllm" }

  documents = [
    for text in split("\n---\n", var.serving == null ? "" : file(var.serving)) : yamldecode(text) if can(regex("(?m)^kind:", text))
  ]
  served = { for found in local.documents : "${found.kind}/${found.metadata.name}" => found }
  serving = {
    for key, found in local.served : key => (
      found.kind == "Deployment" ? yamlencode(merge(found, {
        metadata = merge(found.metadata, { namespace = var.models_namespace })
        spec = merge(found.spec, {
          replicas = var.model_servers
          template = merge(found.spec.template, {
            spec = merge(found.spec.template.spec, { nodeSelector = var.gpu_nodes })
          })
        })
      })) :
      found.kind == "PersistentVolumeClaim" ? yamlencode(merge(found, {
        metadata = merge(found.metadata, { namespace = var.models_namespace })
        spec = merge(
          found.spec,
          { resources = { requests = { storage = "${var.models_volume.gib}Gi" } } },
          { for name, class in { storageClassName = var.models_volume.class } : name => class if class != null },
        )
      })) :
      yamlencode(merge(found, { metadata = merge(found.metadata, { namespace = var.models_namespace }) }))
    )
  }
  names = nonsensitive(keys(var.keys))
}

resource "kubectl_manifest" "models_namespace" {
  count = var.serving == null ? 0 : 1

  wait = true
  yaml_body = yamlencode({
    apiVersion = "v1"
    kind       = "Namespace"
    metadata = {
      name   = var.models_namespace
      labels = { "app.kubernetes.io/part-of" = "torpor", "pod-security.kubernetes.io/enforce" = "baseline" }
    }
  })
}

resource "kubectl_manifest" "models_key" {
  count = var.serving != null && contains(local.names, "VLLM_API_KEY") ? 1 : 0

  sensitive_fields = ["data"]
  yaml_body = yamlencode({
    apiVersion = "v1"
    kind       = "Secret"
    type       = "Opaque"
    metadata   = { name = "vllm", namespace = var.models_namespace, labels = local.server }
    data       = { "api-key" = base64encode(var.keys["VLLM_API_KEY"]) }
  })
  depends_on = [kubectl_manifest.models_namespace]
}

resource "kubectl_manifest" "models_in" {
  count = var.serving == null ? 0 : 1

  yaml_body = yamlencode({
    apiVersion = "networking.k8s.io/v1"
    kind       = "NetworkPolicy"
    metadata   = { name = "models-in", namespace = var.models_namespace, labels = local.server }
    spec = {
      podSelector = {}
      policyTypes = ["Ingress"]
      ingress = [
        {
          from = [{
            namespaceSelector = { matchLabels = { "kubernetes.io/metadata.name" = var.namespace } }
            podSelector       = { matchLabels = local.select }
          }]
        },
        { from = [{ namespaceSelector = { matchLabels = { "kubernetes.io/metadata.name" = "monitoring" } } }] },
      ]
    }
  })
  depends_on = [kubectl_manifest.models_namespace]
}

# Not waited for: a GPU may be minutes away, and the scheduler lets calls wait until then.
resource "kubectl_manifest" "serving" {
  for_each = local.serving

  wait_for_rollout = false
  yaml_body        = each.value
  depends_on       = [kubectl_manifest.models_namespace, kubectl_manifest.models_key]
}

resource "kubectl_manifest" "pools" {
  yaml_body = yamlencode({
    apiVersion = "v1"
    kind       = "ConfigMap"
    metadata   = { name = "scheduler", namespace = var.namespace, labels = local.labels }
    data       = { "pools.yaml" = var.pools }
  })
}

resource "kubectl_manifest" "keys" {
  sensitive_fields = ["data"]
  yaml_body = yamlencode({
    apiVersion = "v1"
    kind       = "Secret"
    type       = "Opaque"
    metadata   = { name = "scheduler", namespace = var.namespace, labels = local.labels }
    data       = { for name, key in var.keys : name => base64encode(key) }
  })
}

resource "kubectl_manifest" "journal" {
  yaml_body = yamlencode({
    apiVersion = "v1"
    kind       = "PersistentVolumeClaim"
    metadata   = { name = "scheduler-journal", namespace = var.namespace, labels = local.labels }
    spec = merge(
      { accessModes = ["ReadWriteOnce"], resources = { requests = { storage = "${var.journal.gib}Gi" } } },
      { for name, class in { storageClassName = var.journal.class } : name => class if class != null },
    )
  })
}

resource "kubectl_manifest" "scheduler" {
  wait_for_rollout = false
  yaml_body = yamlencode({
    apiVersion = "apps/v1"
    kind       = "Deployment"
    metadata   = { name = "scheduler", namespace = var.namespace, labels = local.labels }
    spec = {
      replicas = 1
      strategy = { type = "Recreate" }
      selector = { matchLabels = local.select }
      template = {
        metadata = {
          labels      = local.labels
          annotations = { "torpor.dev/settings" = sha256(join("\n", [var.pools, nonsensitive(sha256(jsonencode(var.keys)))])) }
        }
        spec = merge({ for name in [var.pull_secret] : "imagePullSecrets" => [{ name = name }] if name != null }, {
          automountServiceAccountToken = false
          enableServiceLinks           = false
          securityContext = {
            runAsNonRoot   = true
            runAsUser      = 65532
            fsGroup        = 65532
            seccompProfile = { type = "RuntimeDefault" }
          }
          containers = [{
            name  = "scheduler"
            image = var.image
            env = concat(
              [{ name = "TORPOR_STORE", value = var.store }, { name = "TORPOR_INGRESS", value = var.ingress }],
              [
                for name, key in {
                  AWS_ENDPOINT_URL      = "endpoint"
                  AWS_REGION            = "region"
                  AWS_ACCESS_KEY_ID     = "access-key-id"
                  AWS_SECRET_ACCESS_KEY = "secret-access-key"
                } : { name = name, valueFrom = { secretKeyRef = { name = "store", key = key, optional = true } } }
              ],
            )
            envFrom        = [{ secretRef = { name = "scheduler" } }]
            ports          = [{ name = "http", containerPort = 8091 }]
            readinessProbe = { httpGet = { path = "/health", port = "http" }, periodSeconds = 5 }
            livenessProbe  = { httpGet = { path = "/health", port = "http" }, periodSeconds = 10, failureThreshold = 6 }
            resources = {
              requests = { cpu = "250m", memory = "512Mi" }
              limits   = { memory = "1Gi" }
            }
            securityContext = {
              allowPrivilegeEscalation = false
              readOnlyRootFilesystem   = true
              capabilities             = { drop = ["ALL"] }
            }
            volumeMounts = [
              { name = "pools", mountPath = "/etc/torpor" },
              { name = "journal", mountPath = "/var/lib/torpor" },
              { name = "tmp", mountPath = "/tmp" },
            ]
          }]
          volumes = [
            { name = "pools", configMap = { name = "scheduler" } },
            { name = "journal", persistentVolumeClaim = { claimName = "scheduler-journal" } },
            { name = "tmp", emptyDir = { sizeLimit = "64Mi" } },
          ]
        })
      }
    }
  })
  depends_on = [kubectl_manifest.pools, kubectl_manifest.keys, kubectl_manifest.journal, kubectl_manifest.traffic]
}

resource "kubectl_manifest" "service" {
  yaml_body = yamlencode({
    apiVersion = "v1"
    kind       = "Service"
    metadata   = { name = "scheduler", namespace = var.namespace, labels = local.labels }
    spec       = { selector = local.select, ports = [{ name = "http", port = 80, targetPort = "http" }] }
  })
}

resource "kubectl_manifest" "traffic" {
  yaml_body = yamlencode({
    apiVersion = "networking.k8s.io/v1"
    kind       = "NetworkPolicy"
    metadata   = { name = "scheduler", namespace = var.namespace, labels = local.labels }
    spec = {
      podSelector = { matchLabels = local.select }
      policyTypes = ["Ingress", "Egress"]
      ingress = [{
        ports = [{ port = 8091 }]
        from = [
          { podSelector = { matchExpressions = [{ key = "serving.knative.dev/service", operator = "Exists" }] } },
          { namespaceSelector = { matchLabels = { "kubernetes.io/metadata.name" = "monitoring" } } },
        ]
      }]
      egress = [
        { ports = [{ port = 53, protocol = "UDP" }, { port = 53, protocol = "TCP" }] },
        { to = [{ namespaceSelector = { matchLabels = { "kubernetes.io/metadata.name" = var.models_namespace } } }] },
        { to = [{ namespaceSelector = { matchLabels = { "kubernetes.io/metadata.name" = "knative-eventing" } } }], ports = [{ port = 8080 }] },
        { to = [{ namespaceSelector = { matchLabels = { "torpor.dev/store" = "true" } } }] },
        {
          ports = [{ port = 443 }]
          to = [{
            ipBlock = {
              cidr   = "0.0.0.0/0"
              except = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8"]
            }
          }]
        },
      ]
    }
  })
}
