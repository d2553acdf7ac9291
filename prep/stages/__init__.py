"""The stages: a module for each verb. A stage never imports another stage."""
