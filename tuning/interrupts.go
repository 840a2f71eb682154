package tuning

// interruptItems are of interrupts and of who moves them.
var interruptItems []Item
