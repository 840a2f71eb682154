package wire

// The generated code is committed as flatc 2.0.8 writes it; another version of flatc may write it differently.
//go:generate flatc --go -o . record.fbs datagram.fbs client.fbs
