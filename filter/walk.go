package filter

// walker reads one payload and notes what holds.
type walker struct {
	scanner
	truths  []bool    // as the program numbers them
	seen    []bool    // leaves that had a value to judge
	scratch [256]byte // a text without its escapes, if it is no longer
}

// payload reads the whole payload as the value of a field.
func (w *walker) payload(f *field) Verdict {
	v := w.value(f, 0)
	if v == Pass && !w.ended() {
		v = NotJSON
	}
	return v
}

// found is what a field has, arrays taken apart.
type found struct{ scalars, objects bool }

// value reads the value of a field. Of members with the same name the last one counts.
func (w *walker) value(f *field, depth int) Verdict {
	clear(w.truths[f.from:f.to])
	var has found
	if v := w.item(f, depth, &has); v != Pass {
		return v
	}
	w.missing(f, has)
	return Pass
}

// missing notes what holds because there is no value for it.
func (w *walker) missing(f *field, has found) {
	if !has.scalars {
		for _, l := range f.leaves {
			w.truths[l.truth] = l.absent
		}
	}
	if !has.objects && f.inner != nil {
		copy(w.truths[f.inner.from:f.inner.to], f.inner.absent)
		w.judge(f.inner)
	}
}

// judge notes which rules of an object hold, beside those that have held for another element of the same array.
func (w *walker) judge(o *object) {
	for i := range o.rules {
		r := &o.rules[i]
		w.truths[r.truth] = w.truths[r.truth] || r.holds(w.truths)
	}
}

// item reads a value or the elements of an array, and of arrays in it.
func (w *walker) item(f *field, depth int, has *found) Verdict {
	switch c := w.peek(); c {
	case '{':
		if f.inner == nil {
			return w.skip(depth)
		}
		has.objects = true
		return w.object(f.inner, depth)
	case '[':
		return w.array(f, depth, has)
	default:
		has.scalars = true
		return w.scalar(f, c)
	}
}

func (w *walker) array(f *field, depth int, has *found) Verdict {
	if depth >= maxDepth {
		return TooDeep
	}
	w.at++
	if w.take(']') {
		return Pass
	}
	for {
		if v := w.item(f, depth+1, has); v != Pass {
			return v
		}
		if w.take(']') {
			return Pass
		}
		if !w.take(',') {
			return NotJSON
		}
	}
}

func (w *walker) object(o *object, depth int) Verdict {
	if depth >= maxDepth {
		return TooDeep
	}
	copy(w.truths[o.from:o.to], o.absent)
	w.at++
	if w.take('}') {
		w.judge(o)
		return Pass
	}
	for {
		if v := w.member(o, depth); v != Pass {
			return v
		}
		if w.take('}') {
			w.judge(o)
			return Pass
		}
		if !w.take(',') {
			return NotJSON
		}
	}
}

func (w *walker) member(o *object, depth int) Verdict {
	if w.peek() != '"' {
		return NotJSON
	}
	name, escaped, ok := w.str()
	if !ok || !w.take(':') {
		return NotJSON
	}
	if escaped {
		name = w.plain(name)
	}
	f := o.find(name)
	if f == nil {
		return w.skip(depth + 1)
	}
	return w.value(f, depth+1)
}

// plain returns a text without its escapes; it is good until the next one.
func (w *walker) plain(raw []byte) []byte { return unescape(w.scratch[:0], raw) }

// scalar reads a scalar and judges it.
func (w *walker) scalar(f *field, c byte) Verdict {
	s := scalar{kind: c}
	var escaped, ok bool
	switch c {
	case '"':
		s.text, escaped, ok = w.str()
	case 't':
		ok = w.word("true")
	case 'f':
		ok = w.word("false")
	case 'n':
		ok = w.word("null")
	default:
		s.kind = '0'
		s.text, ok = w.number()
	}
	if !ok {
		return NotJSON
	}
	if escaped && len(f.leaves) > 0 {
		s.text = w.plain(s.text)
	}
	w.test(f, &s)
	return Pass
}

// test holds a scalar against the lists of a field.
func (w *walker) test(f *field, s *scalar) {
	for _, l := range f.leaves {
		w.seen[l.truth] = true
		for i := 0; i < len(l.tests) && !w.truths[l.truth]; i++ {
			w.truths[l.truth] = l.tests[i].holds(s)
		}
	}
}
