# Certificate authority and password are given and not left to Strimzi: Eventing needs them in another namespace, in the same run.
locals {
  labels  = { "app.kubernetes.io/part-of" = "torpor" }
  strimzi = { "strimzi.io/cluster" = var.name, "strimzi.io/kind" = "Kafka" }
  user    = "torpor"
  tls     = 9093

  authority = {
    "${var.name}-cluster-ca-cert" = {
      annotation = "strimzi.io/ca-cert-generation"
      data       = { "ca.crt" = base64encode(var.authority.certificate) }
    }
    "${var.name}-cluster-ca" = {
      annotation = "strimzi.io/ca-key-generation"
      data       = { "ca.key" = base64encode(var.authority.key) }
    }
  }
}

resource "kubectl_manifest" "namespace" {
  wait = true
  yaml_body = yamlencode({
    apiVersion = "v1"
    kind       = "Namespace"
    metadata   = { name = var.namespace, labels = local.labels }
  })
}

resource "kubectl_manifest" "authority" {
  for_each = toset(["${var.name}-cluster-ca-cert", "${var.name}-cluster-ca"])

  sensitive_fields = ["data"]
  yaml_body = yamlencode({
    apiVersion = "v1"
    kind       = "Secret"
    type       = "Opaque"
    metadata = {
      name        = each.key
      namespace   = var.namespace
      labels      = merge(local.labels, local.strimzi)
      annotations = { (local.authority[each.key].annotation) = "0" }
    }
    data = local.authority[each.key].data
  })
  depends_on = [kubectl_manifest.namespace]
}

resource "kubectl_manifest" "password" {
  sensitive_fields = ["data"]
  yaml_body = yamlencode({
    apiVersion = "v1"
    kind       = "Secret"
    type       = "Opaque"
    metadata   = { name = "${local.user}-password", namespace = var.namespace, labels = local.labels }
    data       = { password = base64encode(var.password) }
  })
  depends_on = [kubectl_manifest.namespace]
}

resource "kubectl_manifest" "nodes" {
  wait = true
  yaml_body = yamlencode({
    apiVersion = "kafka.strimzi.io/v1"
    kind       = "KafkaNodePool"
    metadata = {
      name      = "nodes"
      namespace = var.namespace
      labels    = merge(local.labels, { "strimzi.io/cluster" = var.name })
    }
    spec = {
      replicas = var.nodes
      roles    = ["controller", "broker"]
      storage = {
        type = "jbod"
        volumes = [merge(
          { id = 0, type = "persistent-claim", size = "${var.storage_gib}Gi", deleteClaim = false, kraftMetadata = "shared" },
          var.storage_class == null ? {} : { class = var.storage_class },
        )]
      }
      resources = {
        requests = { cpu = var.resources.cpu, memory = "${var.resources.memory_gib}Gi" }
        limits   = { memory = "${var.resources.memory_gib}Gi" }
      }
      jvmOptions = {
        "-Xms" = "${floor(var.resources.memory_gib * 512)}m"
        "-Xmx" = "${floor(var.resources.memory_gib * 512)}m"
      }
      template = {
        pod = {
          affinity = {
            podAntiAffinity = {
              requiredDuringSchedulingIgnoredDuringExecution = [{
                topologyKey   = "kubernetes.io/hostname"
                labelSelector = { matchLabels = { "strimzi.io/cluster" = var.name, "strimzi.io/pool-name" = "nodes" } }
              }]
            }
          }
        }
      }
    }
  })
  depends_on = [kubectl_manifest.namespace]
}

resource "kubectl_manifest" "kafka" {
  wait = true
  yaml_body = yamlencode({
    apiVersion = "kafka.strimzi.io/v1"
    kind       = "Kafka"
    metadata   = { name = var.name, namespace = var.namespace, labels = local.labels }
    spec = {
      clusterCa = { generateCertificateAuthority = false }
      kafka = {
        listeners = [{
          name           = "tls"
          port           = local.tls
          type           = "internal"
          tls            = true
          authentication = { type = "scram-sha-512" }
        }]
        authorization = { type = "simple" }
        config = {
          "default.replication.factor"               = 3
          "min.insync.replicas"                      = 2
          "offsets.topic.replication.factor"         = 3
          "transaction.state.log.replication.factor" = 3
          "transaction.state.log.min.isr"            = 2
          "log.retention.hours"                      = var.retention_hours
          "auto.create.topics.enable"                = false
          "message.max.bytes"                        = 1048588
        }
      }
      entityOperator = {
        topicOperator = { watchedNamespace = var.topics_namespace }
        userOperator  = {}
      }
    }
  })
  depends_on = [kubectl_manifest.authority, kubectl_manifest.nodes]
}

resource "kubectl_manifest" "user" {
  wait = true
  yaml_body = yamlencode({
    apiVersion = "kafka.strimzi.io/v1"
    kind       = "KafkaUser"
    metadata = {
      name      = local.user
      namespace = var.namespace
      labels    = merge(local.labels, { "strimzi.io/cluster" = var.name })
    }
    spec = {
      authentication = {
        type     = "scram-sha-512"
        password = { valueFrom = { secretKeyRef = { name = "${local.user}-password", key = "password" } } }
      }
      authorization = {
        type = "simple"
        acls = [
          {
            resource   = { type = "topic", name = "*", patternType = "literal" }
            operations = ["Describe", "DescribeConfigs", "Read", "Write"]
          },
          {
            resource   = { type = "group", name = "*", patternType = "literal" }
            operations = ["Describe", "Read", "Delete"]
          },
        ]
      }
    }
  })
  depends_on = [kubectl_manifest.kafka, kubectl_manifest.password]
}
