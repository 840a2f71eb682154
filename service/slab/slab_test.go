package slab_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"lockstep/service/slab"
)

// Lists, pool and table do what slices and a map do.
func TestPlacesAreKeptAsInAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const limit = 12
		pool, table := slab.NewPool(limit), slab.NewTable(limit)
		var lists [2]slab.List
		var model [2][]uint32
		hashes := map[uint32]uint64{}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			which := rapid.IntRange(0, 1).Draw(t, "list")
			switch rapid.IntRange(0, 8).Draw(t, "do") {
			case 0:
				lists[which].GiveAll(&pool)
				for _, i := range model[which] {
					table.Remove(hashes[i], i)
					delete(hashes, i)
				}
				model[which] = nil
			case 1, 2, 3:
				if len(model[which]) == 0 {
					continue
				}
				i := rapid.SampledFrom(model[which]).Draw(t, "place")
				lists[which].Remove(&pool, i)
				pool.Give(i)
				table.Remove(hashes[i], i)
				delete(hashes, i)
				model[which] = slices.DeleteFunc(model[which], func(x uint32) bool { return x == i })
			default:
				i := pool.Take()
				if (i == 0) != (len(hashes) == limit) {
					t.Fatalf("took %d with %d of %d places taken", i, len(hashes), limit)
				}
				if i == 0 {
					continue
				}
				hashes[i] = rapid.Uint64Range(0, 5).Draw(t, "hash") * 7
				lists[which].Push(&pool, i)
				table.Add(hashes[i], i)
				model[which] = append(model[which], i)
			}
			check(t, &pool, &table, &lists, &model, hashes)
		}
	})
}

func check(
	t *rapid.T, pool *slab.Pool, table *slab.Table, lists *[2]slab.List, model *[2][]uint32, hashes map[uint32]uint64,
) {
	for n := range lists {
		var got []uint32
		for i := lists[n].Head; i != 0; i = pool.Next(i) {
			got = append(got, i)
		}
		if !slices.Equal(got, model[n]) || lists[n].Len != len(got) {
			t.Fatalf("list %v, want %v", got, model[n])
		}
	}
	if pool.Used() != len(hashes) || pool.Used()+pool.Free() != 12 {
		t.Fatalf("%d used, %d free, want %d used", pool.Used(), pool.Free(), len(hashes))
	}
	for hash := uint64(0); hash <= 35; hash += 7 {
		var got []uint32
		at := table.Begin(hash)
		for i := table.Next(hash, &at); i != 0; i = table.Next(hash, &at) {
			got = append(got, i)
		}
		slices.Sort(got)
		var want []uint32
		for i := uint32(1); i <= 12; i++ {
			if h, ok := hashes[i]; ok && h == hash {
				want = append(want, i)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("hash %d leads to %v, want %v", hash, got, want)
		}
	}
}

func TestNothingAllocates(t *testing.T) {
	pool, table := slab.NewPool(100), slab.NewTable(100)
	var list slab.List
	if n := testing.AllocsPerRun(1000, func() {
		i := pool.Take()
		list.Push(&pool, i)
		table.Add(uint64(i)*3, i)
		if table.Find(uint64(i)*3) != i {
			t.Fatal("not found")
		}
		table.Remove(uint64(i)*3, i)
		list.Remove(&pool, i)
		pool.Give(i)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
