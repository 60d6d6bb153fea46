"""The metrics query expression language (MQE) of Apache SkyWalking: docs/mqe.md."""
