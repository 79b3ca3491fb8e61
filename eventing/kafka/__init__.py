"""The edge to Apache Kafka, and the only package that imports confluent_kafka.

Forbidden here: knowing what an event is; vendor errors leave as KafkaUnavailableError.
"""

from eventing.kafka.consumer import Consumer
from eventing.kafka.producer import Producer
from eventing.kafka.records import MAX_RECORD_BYTES, KafkaUnavailableError, Place, Record
from eventing.kafka.topics import TopicSpec, create_topics, read, sizes

__all__ = [
    "MAX_RECORD_BYTES",
    "Consumer",
    "KafkaUnavailableError",
    "Place",
    "Producer",
    "Record",
    "TopicSpec",
    "create_topics",
    "read",
    "sizes",
]
