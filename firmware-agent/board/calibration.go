package board

import (
	"bytes"
	"fmt"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// SetCalibration returns the text of a profile with another calibration of the scale of
// compartment no. Comments and everything else stay; the caller parses the result before it is
// kept.
func SetCalibration(text []byte, no int, zero int32, countsPerGram float64) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	if len(doc.Content) == 0 {
		return nil, fmt.Errorf("the profile is empty")
	}
	scale := scaleNode(field(doc.Content[0], "compartments"), no)
	if scale == nil {
		return nil, fmt.Errorf("compartment %d of the profile has no scale", no)
	}
	setField(scale, "zero", strconv.FormatInt(int64(zero), 10), "!!int")
	setField(scale, "counts_per_gram", strconv.FormatFloat(countsPerGram, 'f', 4, 64), "!!float")
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(&doc); err != nil {
		return nil, err
	}
	return out.Bytes(), enc.Close()
}

// scaleNode finds the scale of a compartment in a list of them.
func scaleNode(cells *yaml.Node, no int) *yaml.Node {
	if cells == nil || cells.Kind != yaml.SequenceNode {
		return nil
	}
	for _, c := range cells.Content {
		if n := field(c, "no"); n != nil && n.Value == strconv.Itoa(no) {
			return field(c, "scale")
		}
	}
	return nil
}

// field is the value of a key; nil when there is none.
func field(m *yaml.Node, key string) *yaml.Node {
	if m == nil || m.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return m.Content[i+1]
		}
	}
	return nil
}

func setField(m *yaml.Node, key, value, tag string) {
	if v := field(m, key); v != nil {
		v.Value, v.Tag, v.Style = value, tag, 0
		return
	}
	m.Content = append(m.Content,
		&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key},
		&yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: value})
}
