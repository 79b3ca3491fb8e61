locals {
  consumer = {
    "key.deserializer"         = "org.apache.kafka.common.serialization.StringDeserializer"
    "value.deserializer"       = "io.cloudevents.kafka.CloudEventDeserializer"
    "allow.auto.create.topics" = false
    "auto.offset.reset"        = "earliest"
    "enable.auto.commit"       = false
    "fetch.max.bytes"          = 52428800
    "heartbeat.interval.ms"    = 3000
    "isolation.level"          = "read_uncommitted"
    "max.poll.interval.ms"     = var.max_poll_interval_s * 1000
    "max.poll.records"         = 50
    "session.timeout.ms"       = 10000
  }
  consumer_properties = join("\n", concat([for name in sort(keys(local.consumer)) : "${name}=${local.consumer[name]}"], [""]))
}

resource "helm_release" "strimzi" {
  name             = "strimzi"
  repository       = "oci://quay.io/strimzi-helm"
  chart            = "strimzi-kafka-operator"
  version          = var.versions.strimzi
  namespace        = "strimzi"
  create_namespace = true
  values           = [yamlencode({ watchAnyNamespace = true })]
}

resource "helm_release" "keda" {
  name             = "keda"
  repository       = "https://kedacore.github.io/charts"
  chart            = "keda"
  version          = var.versions.keda
  namespace        = "keda"
  create_namespace = true
}

resource "helm_release" "prometheus" {
  count = var.monitoring ? 1 : 0

  name             = "prometheus"
  repository       = "https://prometheus-community.github.io/helm-charts"
  chart            = "kube-prometheus-stack"
  version          = var.versions.prometheus
  namespace        = "monitoring"
  create_namespace = true
}

resource "helm_release" "knative_operator" {
  name             = "knative-operator"
  repository       = "https://knative.github.io/operator"
  chart            = "knative-operator"
  version          = var.versions.knative_operator
  namespace        = "knative-operator"
  create_namespace = true
}

resource "kubectl_manifest" "namespaces" {
  for_each = toset(["knative-serving", "knative-eventing"])

  wait      = true
  yaml_body = yamlencode({ apiVersion = "v1", kind = "Namespace", metadata = { name = each.key } })
}

resource "kubectl_manifest" "serving" {
  wait = true
  yaml_body = yamlencode({
    apiVersion = "operator.knative.dev/v1beta1"
    kind       = "KnativeServing"
    metadata   = { name = "knative-serving", namespace = "knative-serving" }
    spec = {
      version = var.versions.knative
      ingress = { kourier = { enabled = true } }
      config = {
        network    = { "ingress-class" = "kourier.ingress.networking.knative.dev" }
        domain     = { (var.domain) = "" }
        autoscaler = { "enable-scale-to-zero" = "true" }
        features   = { "kubernetes.podspec-volumes-emptydir" = "enabled" }
      }
    }
  })
  wait_for {
    condition {
      type   = "Ready"
      status = "True"
    }
  }
  depends_on = [helm_release.knative_operator, kubectl_manifest.namespaces]
}

resource "kubectl_manifest" "eventing" {
  wait = true
  yaml_body = yamlencode({
    apiVersion = "operator.knative.dev/v1beta1"
    kind       = "KnativeEventing"
    metadata   = { name = "knative-eventing", namespace = "knative-eventing" }
    spec = {
      version = var.versions.knative
      source  = { kafka = { enabled = true } }
      config = {
        "config-kafka-broker-data-plane" = { "config-kafka-broker-consumer.properties" = local.consumer_properties }
        "config-kafka-source-data-plane" = { "config-kafka-source-consumer.properties" = local.consumer_properties }
      }
    }
  })
  wait_for {
    condition {
      type   = "Ready"
      status = "True"
    }
  }
  depends_on = [helm_release.knative_operator, kubectl_manifest.namespaces]
}
