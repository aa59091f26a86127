"""Evaluation: the paper's figure 7 (clicks on images) and table 2 (interventions on loops), with plots."""
