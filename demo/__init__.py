"""The demo's data: generated street scenes, and the different generated task its checkpoint was trained on."""
