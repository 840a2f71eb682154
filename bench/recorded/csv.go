package recorded

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"lockstep/service/orderbook/match"
)

// Columns of a CSV file.
const (
	columnTime = iota
	columnUser
	columnAction
	columnOrder
	columnNewOrder
	columnInstrument
	columnSide
	columnType
	columnTIF
	columnPrice
	columnStop
	columnQuantity
	columnDisplay
	numColumns
)

// columnNames are what the first line calls them, in any order.
var columnNames = [numColumns]string{"time", "user", "action", "order", "new_order", "instrument", "side", "type", "tif",
	"price", "stop", "quantity", "display"}

// neededColumns must be there.
var neededColumns = []int{columnTime, columnAction, columnOrder, columnInstrument, columnSide, columnPrice, columnQuantity}

// Words of the columns that have words.
var (
	sideWords = map[string]match.Side{"buy": match.Buy, "b": match.Buy, "sell": match.Sell, "s": match.Sell}
	kindWords = map[string]match.Type{"": match.Limit, "limit": match.Limit, "market": match.Market, "stop": match.Stop,
		"stop_limit": match.StopLimit}
	tifWords = map[string]match.TimeInForce{"": match.Day, "day": match.Day, "gtc": match.GTC, "ioc": match.IOC, "fok": match.FOK}
)

// mostActions bounds how many words of actions that are no order entry are told apart.
const mostActions = 32

// csvReader reads a file of lines.
type csvReader struct {
	in     *intake
	at     [numColumns]int // column of the file; -1: it has none
	wide   int             // columns of the file
	fields []string
	lastNs int64
	others int
}

// readCSV reads the whole file, or as much of it as the limit takes.
func (in *intake) readCSV(b *bufio.Reader) error {
	lines := bufio.NewScanner(b)
	lines.Buffer(make([]byte, 0, MaxLine), MaxLine)
	r := &csvReader{in: in}
	number, header := 0, false
	for lines.Scan() {
		number++
		text := strings.TrimSpace(lines.Text())
		if number == 1 {
			text = strings.TrimPrefix(text, "\ufeff")
		}
		if text == "" || text[0] == '#' {
			continue
		}
		if in.full() {
			in.f.Cut = true
			break
		}
		r.split(text)
		var err error
		if header {
			err = r.line()
		} else {
			header, err = true, r.header()
		}
		if err != nil {
			return fmt.Errorf("%w %s: line %d: %w", ErrFormat, in.f.Name, number, err)
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("%w %s: line %d: longer than %d bytes", ErrFormat, in.f.Name, number+1, MaxLine)
	case err != nil && !errors.Is(err, io.EOF):
		return fmt.Errorf("%w %s: after line %d: %w", ErrFormat, in.f.Name, number, err)
	case !header:
		return fmt.Errorf("%w %s: it is empty: the first line is to name the columns %s", ErrFormat, in.f.Name,
			strings.Join(columnNames[:], ","))
	}
	return nil
}

// split cuts a line at its commas.
func (r *csvReader) split(text string) {
	r.fields = r.fields[:0]
	for {
		field, rest, more := strings.Cut(text, ",")
		r.fields = append(r.fields, strings.TrimSpace(field))
		if !more {
			return
		}
		text = rest
	}
}

// header takes the line that names the columns. Columns of other names are not looked at.
func (r *csvReader) header() error {
	r.wide = len(r.fields)
	for c := range r.at {
		r.at[c] = -1
	}
	for i, field := range r.fields {
		for c, name := range columnNames {
			if !strings.EqualFold(field, name) {
				continue
			}
			if r.at[c] >= 0 {
				return fmt.Errorf("column %q is there twice", name)
			}
			r.at[c] = i
		}
	}
	for _, c := range neededColumns {
		if r.at[c] < 0 {
			return fmt.Errorf("there is no column %q: the first line is to name the columns %s", columnNames[c],
				strings.Join(columnNames[:], ","))
		}
	}
	return nil
}

// field is what a column has; "" when the file has no such column.
func (r *csvReader) field(column int) string {
	if r.at[column] < 0 {
		return ""
	}
	return r.fields[r.at[column]]
}

// line takes one line.
func (r *csvReader) line() error {
	if len(r.fields) != r.wide {
		return fmt.Errorf("%d fields: want %d, as the first line has", len(r.fields), r.wide)
	}
	timeNs, err := parseTime(r.field(columnTime))
	if err != nil {
		return err
	}
	if timeNs < r.lastNs {
		return fmt.Errorf("time %q: before that of the line before: the file must be in the order of time", r.field(columnTime))
	}
	r.lastNs = timeNs
	action := strings.ToLower(r.field(columnAction))
	switch action {
	case "new", "cancel", "replace":
	default:
		if r.others++; r.others > mostActions && r.in.skipped["action "+strconv.Quote(action)] == 0 {
			action = "other"
		}
		r.in.skip("action " + strconv.Quote(action))
		return nil
	}
	user, ok := r.in.user(r.field(columnUser))
	if !ok {
		r.in.skip(skipUsers)
		return nil
	}
	name := orderName{user: user, text: r.field(columnOrder)}
	if name.text == "" {
		return errors.New("order \"\": want what the user calls the order")
	}
	switch action {
	case "new":
		return r.enter(timeNs, name)
	case "replace":
		return r.replace(timeNs, name)
	}
	stays := uint64(0)
	if r.field(columnQuantity) != "" {
		if stays, err = r.quantity(columnQuantity, 0); err != nil {
			return err
		}
	}
	if n, o := r.in.find(name); o != nil {
		r.in.cancel(timeNs, n, stays)
	}
	return nil
}

// enter takes a new order.
func (r *csvReader) enter(timeNs int64, name orderName) (err error) {
	m := message{timeNs: timeNs, user: name.user}
	if m.side, err = word("side", r.field(columnSide), sideWords); err != nil {
		return err
	}
	if m.kind, err = word("type", r.field(columnType), kindWords); err != nil {
		return err
	}
	if m.tif, err = word("tif", r.field(columnTIF), tifWords); err != nil {
		return err
	}
	if err = r.terms(&m); err != nil {
		return err
	}
	if !usableSymbol(r.field(columnInstrument)) {
		return fmt.Errorf("instrument %q: want 1 to 16 printable ASCII characters without spaces", r.field(columnInstrument))
	}
	var ok bool
	if m.instrument, ok = r.in.instrument(r.field(columnInstrument)); !ok {
		r.in.skip(skipInstruments)
		return nil
	}
	if n, ok := r.in.orders[name]; ok {
		r.in.close(n) // the name is used again: the file does not say what became of the order
	}
	r.in.enter(name, m, m.tif != match.IOC && m.tif != match.FOK)
	return nil
}

// replace takes a replacement.
func (r *csvReader) replace(timeNs int64, name orderName) error {
	n, o := r.in.find(name)
	if o == nil {
		return nil
	}
	m := message{timeNs: timeNs, kind: o.kind}
	if err := r.terms(&m); err != nil {
		return err
	}
	if text := r.field(columnNewOrder); text != "" {
		name.text = text
	}
	r.in.replace(name, n, m)
	return nil
}

// terms reads price, stop, quantity and display: those that the type of the order has.
func (r *csvReader) terms(m *message) (err error) {
	if m.price, err = r.price(columnPrice, m.kind == match.Limit || m.kind == match.StopLimit, m.kind); err != nil {
		return err
	}
	if m.stop, err = r.price(columnStop, m.kind == match.Stop || m.kind == match.StopLimit, m.kind); err != nil {
		return err
	}
	if m.quantity, err = r.quantity(columnQuantity, 1); err != nil {
		return err
	}
	if r.field(columnDisplay) != "" {
		m.display, err = r.quantity(columnDisplay, 0)
	}
	return err
}

// price reads a price; an order that has none must have none.
func (r *csvReader) price(column int, wanted bool, kind match.Type) (int64, error) {
	text := r.field(column)
	if !wanted && text != "" && text != "0" {
		return 0, fmt.Errorf("%s %q: an order of this type has none", columnNames[column], text)
	}
	if !wanted {
		return 0, nil
	}
	price, ok := parsePrice(text)
	if !ok || price <= 0 {
		return 0, fmt.Errorf("%s %q: want a number above 0 with at most 8 digits behind the point, below 10,000,000,000",
			columnNames[column], text)
	}
	return price, nil
}

// quantity reads a number of lots.
func (r *csvReader) quantity(column int, least uint64) (uint64, error) {
	text := r.field(column)
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n < least || n > MaxQuantity {
		return 0, fmt.Errorf("%s %q: want a whole number, %d to %d", columnNames[column], text, least, uint64(MaxQuantity))
	}
	return n, nil
}

// word looks a word up.
func word[T any](column, text string, words map[string]T) (T, error) {
	v, ok := words[strings.ToLower(text)]
	if ok {
		return v, nil
	}
	names := make([]string, 0, len(words))
	for name := range words {
		if name != "" {
			names = append(names, name)
		}
	}
	return v, fmt.Errorf("%s %q: want one of %s", column, text, sorted(names))
}

// parseTime reads nanoseconds since whatever, or a date and time.
func parseTime(text string) (int64, error) {
	if ns, err := strconv.ParseInt(text, 10, 64); err == nil && ns >= 0 && ns <= latest {
		return ns, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil && t.Year() >= 1970 && t.Year() < 2100 {
		return t.UnixNano(), nil
	}
	return 0, fmt.Errorf("time %q: want nanoseconds, a whole number from 0, or a time like 2026-11-22T09:30:00.000000001Z", text)
}

// latest is the latest time that a flow may have: half of what an int64 holds, so that one pass behind another fits.
const latest = 1 << 62

// parsePrice reads a decimal number as a multiple of 1/priceUnit.
func parsePrice(text string) (int64, bool) {
	whole, fraction, _ := strings.Cut(text, ".")
	if len(whole) == 0 || len(whole) > 10 || len(fraction) > 8 {
		return 0, false
	}
	price := int64(0)
	for _, c := range []byte(whole + fraction + "00000000"[len(fraction):]) {
		if c < '0' || c > '9' {
			return 0, false
		}
		price = 10*price + int64(c-'0')
	}
	return price, true
}
