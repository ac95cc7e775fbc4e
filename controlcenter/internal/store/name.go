package store

const sqlTakeName = `INSERT INTO names (id, kind) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING`

// takeName keeps an id for one bank, partner or person: they share one space of names at the
// broker, where a taken over name would be a taken over topic. It answers false when the id
// belongs to another, or to another kind.
func (tx *Tx) takeName(kind, id string) (bool, error) {
	n, err := tx.Exec(sqlTakeName, id, kind)
	return n == 1, wrap(err, "take the name %s", id)
}
