// Package keypad reads matrix keypads and makes a panel of a keypad and a display: people type
// the number of their door and their code.
package keypad

import (
	"fmt"
	"math/bits"
	"sync"
	"time"
)

// Bounds of a matrix.
const (
	MaxRows    = 8
	MaxColumns = 8
)

const (
	scanPeriod  = 5 * time.Millisecond
	waitingKeys = 16
)

// Contacts are closed contacts of a matrix, bit row*MaxColumns+column.
type Contacts uint64

func contact(row, column int) Contacts { return 1 << (row*MaxColumns + column) }

// Ghosts tells whether current may have found a way round: two rows share two columns, and then
// the fourth key of the rectangle looks pressed whether it is or not.
func (c Contacts) Ghosts() bool {
	for a := range MaxRows {
		for b := a + 1; b < MaxRows; b++ {
			shared := c >> (a * MaxColumns) & (c >> (b * MaxColumns)) & (1<<MaxColumns - 1)
			if bits.OnesCount64(uint64(shared)) >= 2 {
				return true
			}
		}
	}
	return false
}

// Debounce turns scans into presses. It is pure; the zero value is ready. A contact counts when
// two scans in a row agree. A scan with ghosts counts for nothing, and so do keys that go down in
// the same scan, as under the ball of a hand.
type Debounce struct{ seen, down Contacts }

// Take takes a scan and returns the contact of the key that was pressed. 0 means none.
func (d *Debounce) Take(scan Contacts) Contacts {
	if scan.Ghosts() {
		return 0
	}
	agreed := scan == d.seen
	d.seen = scan
	if !agreed {
		return 0
	}
	pressed := scan &^ d.down
	d.down = scan
	if bits.OnesCount64(uint64(pressed)) != 1 {
		return 0
	}
	return pressed
}

// Row is a line that selects a row. 1 pulls it low, 0 lets go (open drain).
type Row interface{ SetValue(int) error }

// Column is a line that a pressed key of a selected row pulls low. 1 is low.
type Column interface{ Value() (int, error) }

// Matrix is a board.Keypad of rows and columns. Step must run on a loop.
type Matrix struct {
	rows    []Row
	columns []Column
	legend  [][]rune
	keys    chan rune

	bounce Debounce
	idle   bool // every row is selected, to see at one glance that nothing is pressed

	mu  sync.Mutex
	err error
}

// NewMatrix returns a keypad whose keys say what legend has in their row and column.
func NewMatrix(rows []Row, columns []Column, legend []string) (*Matrix, error) {
	if err := CheckLegend(legend, len(rows), len(columns)); err != nil {
		return nil, err
	}
	m := &Matrix{rows: rows, columns: columns, keys: make(chan rune, waitingKeys)}
	for _, l := range legend {
		m.legend = append(m.legend, []rune(l))
	}
	return m, nil
}

// CheckLegend says what is wrong with the size of a keypad or its legend.
func CheckLegend(legend []string, rows, columns int) error {
	if rows < 1 || rows > MaxRows || columns < 1 || columns > MaxColumns {
		return fmt.Errorf("%d rows and %d columns: 1 to %d and 1 to %d are allowed", rows, columns, MaxRows, MaxColumns)
	}
	if len(legend) != rows {
		return fmt.Errorf("the legend has %d rows, the keypad %d", len(legend), rows)
	}
	seen := map[rune]bool{}
	for i, l := range legend {
		keys := []rune(l)
		if len(keys) != columns {
			return fmt.Errorf("row %d of the legend, %q, names %d keys; the keypad has %d columns", i+1, l, len(keys), columns)
		}
		for _, k := range keys {
			if seen[k] {
				return fmt.Errorf("key %q is twice in the legend", k)
			}
			seen[k] = true
		}
	}
	return nil
}

// Keys delivers pressed keys.
func (m *Matrix) Keys() <-chan rune { return m.keys }

// Err is why the keys cannot be read now; nil while they can.
func (m *Matrix) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// Step scans once.
func (m *Matrix) Step(time.Time) time.Duration {
	scan, err := m.scan()
	m.mu.Lock()
	m.err = err
	m.mu.Unlock()
	if err != nil {
		m.idle = false
		return time.Second
	}
	if key := m.bounce.Take(scan); key != 0 {
		at := bits.TrailingZeros64(uint64(key))
		select {
		case m.keys <- m.legend[at/MaxColumns][at%MaxColumns]:
		default:
		}
	}
	return scanPeriod
}

// scan looks at all rows at once first, and at each only when something is pressed.
func (m *Matrix) scan() (Contacts, error) {
	if m.idle {
		if any, err := m.columnsOf(0); err != nil || any == 0 {
			return 0, err
		}
		m.idle = false
	}
	if err := m.selectAll(0); err != nil {
		return 0, err
	}
	var scan Contacts
	for r := range m.rows {
		c, err := m.row(r)
		if err != nil {
			return 0, err
		}
		scan |= c
	}
	if scan == 0 {
		if err := m.selectAll(1); err != nil {
			return 0, err
		}
		m.idle = true
	}
	return scan, nil
}

// row reads the columns while row r alone is selected.
func (m *Matrix) row(r int) (Contacts, error) {
	if err := m.rows[r].SetValue(1); err != nil {
		return 0, fmt.Errorf("keypad: select row %d: %w", r+1, err)
	}
	c, err := m.columnsOf(r)
	if err != nil {
		return 0, err
	}
	if err := m.rows[r].SetValue(0); err != nil {
		return 0, fmt.Errorf("keypad: let go of row %d: %w", r+1, err)
	}
	return c, nil
}

func (m *Matrix) columnsOf(r int) (Contacts, error) {
	var found Contacts
	for c, col := range m.columns {
		v, err := col.Value()
		if err != nil {
			return 0, fmt.Errorf("keypad: read column %d: %w", c+1, err)
		}
		if v == 1 {
			found |= contact(r, c)
		}
	}
	return found, nil
}

func (m *Matrix) selectAll(v int) error {
	for r, row := range m.rows {
		if err := row.SetValue(v); err != nil {
			return fmt.Errorf("keypad: drive row %d: %w", r+1, err)
		}
	}
	return nil
}
