"""Images looked into: what unpacks a layer would refuse is refused before anything is sent. Pure: it is fed bytes.

Of ours it knows `oci` and `errors` alone. Refused is what Docker (moby), containerd or containers/storage refuse to
unpack, and what is not what the image says of itself. What all of them take is taken here: names with a slash in front
(ko writes them), device nodes, a tar whose end is not marked.
"""
