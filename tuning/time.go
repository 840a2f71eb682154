package tuning

// timeItems are of the wall clock and of what keeps it.
var timeItems []Item
