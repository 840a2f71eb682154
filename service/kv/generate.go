package kv

//go:generate flatc --go -o . kv.fbs
