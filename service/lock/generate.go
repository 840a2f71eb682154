package lock

//go:generate flatc --go -o . lock.fbs
