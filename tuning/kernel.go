package tuning

// kernelItems are of the kernel's own threads and timers.
var kernelItems []Item
