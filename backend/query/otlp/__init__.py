"""Values of stored metrics, sent to others by OTLP (https://opentelemetry.io/docs/specs/otlp/)."""
