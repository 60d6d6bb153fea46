"""Reading a Kubernetes cluster: who may ask, lists that are kept up to date by watches, and what is called how."""
