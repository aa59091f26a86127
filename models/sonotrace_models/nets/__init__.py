"""The networks: encoders, the prompt encoder with the mask decoder, and the tracker."""
