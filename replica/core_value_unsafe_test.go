package replica

import (
	"reflect"
	"unsafe"
)

// flip changes a value of any basic kind, exported or not.
func flip(v reflect.Value) {
	v = reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem()
	switch {
	case v.CanUint():
		v.SetUint(v.Uint() ^ 1)
	case v.CanInt():
		v.SetInt(v.Int() ^ 1)
	case v.Kind() == reflect.Bool:
		v.SetBool(!v.Bool())
	default:
		panic("flip: " + v.Kind().String())
	}
}
