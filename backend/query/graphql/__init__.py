"""GraphQL with the operations of Apache SkyWalking's query protocol."""
