"""From mined statements and queries to drafts: attribute type, target, cluster and questions of all kinds."""
