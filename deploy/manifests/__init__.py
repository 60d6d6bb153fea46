"""The objects of a cluster, declared once for kustomize and Helm: `python -m deploy.manifests.render`."""
