"""What a verdict looks at: runs read, metrics, the timeline, the baseline, and whether a pack agrees with itself."""
