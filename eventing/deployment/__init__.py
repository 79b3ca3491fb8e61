"""From a checkout to a cluster: images by whatever builds containers here, functions by `func`.

Forbidden here: what `func`, Terraform or kubectl do already, and any change to a cluster before everything was checked.
"""
