// Package fieldpath names the fields of structs by paths of their JSON names, such as training.learningRate: to set them, and to
// list what they hold.
package fieldpath

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// SetText sets the field of object, a pointer to a struct, at path. The value is YAML, and taken as it stands where the field
// is a string, so that 1e-4 stays the decimal it is.
func SetText(object any, path, value string) error {
	field, err := locate(object, path)
	if err != nil {
		return err
	}
	if text := textOf(field); text.IsValid() {
		text.SetString(value)
		return nil
	}
	raw, err := yaml.YAMLToJSON([]byte(value))
	if err == nil {
		err = setJSON(field, raw)
	}
	return misfit(path, field, value, err)
}

// SetJSON sets the field of object, a pointer to a struct, at path to a JSON value. A string takes numbers too; null unsets.
func SetJSON(object any, path string, value json.RawMessage) error {
	field, err := locate(object, path)
	if err != nil {
		return err
	}
	value = bytes.TrimSpace(value)
	if string(value) == "null" {
		field.SetZero()
		return nil
	}
	if len(value) > 0 && (value[0] == '-' || value[0] >= '0' && value[0] <= '9') {
		if text := textOf(field); text.IsValid() {
			text.SetString(string(value))
			return nil
		}
	}
	return misfit(path, field, string(value), setJSON(field, value))
}

// locate walks down to the field at path, making what is absent on the way.
func locate(object any, path string) (reflect.Value, error) {
	v := reflect.ValueOf(object).Elem()
	for name := range strings.SplitSeq(path, ".") {
		for v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct {
			return v, fmt.Errorf("%s is not a part of %s, which has no parts", name, kindName(v.Type()))
		}
		field, known := fieldByJSONName(v, name)
		if !field.IsValid() {
			slices.Sort(known)
			return v, fmt.Errorf("there is no %s; there are %s", name, strings.Join(known, ", "))
		}
		v = field
	}
	return v, nil
}

// fieldByJSONName finds a field, and lists the names that there are.
func fieldByJSONName(v reflect.Value, name string) (found reflect.Value, known []string) {
	for i := range v.NumField() {
		tag, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if tag == "" || tag == "-" {
			continue
		}
		known = append(known, tag)
		if tag == name {
			found = v.Field(i)
		}
	}
	return found, known
}

// textOf is the string that a field is or points to; invalid if it is no string.
func textOf(field reflect.Value) reflect.Value {
	if field.Kind() == reflect.Pointer && field.Type().Elem().Kind() == reflect.String {
		field.Set(reflect.New(field.Type().Elem()))
		field = field.Elem()
	}
	if field.Kind() != reflect.String {
		return reflect.Value{}
	}
	return field
}

// setJSON replaces the whole field; what the value says of no known field is an error.
func setJSON(field reflect.Value, raw []byte) error {
	fresh := reflect.New(field.Type())
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(fresh.Interface()); err != nil {
		return err
	}
	field.Set(fresh.Elem())
	return nil
}

// misfit says which kind of value a field takes.
func misfit(path string, field reflect.Value, value string, err error) error {
	if err == nil {
		return nil
	}
	text := fmt.Sprintf("%s takes %s: %s does not fit", path, kindName(field.Type()), value)
	if unknown, found := strings.CutPrefix(err.Error(), "json: unknown field "); found {
		text += ": there is no " + strings.Trim(unknown, `"`)
	}
	return fmt.Errorf("%s", text)
}

func kindName(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a text"
	case reflect.Slice:
		return "a list"
	}
	return "a " + t.Name()
}

// Flatten lists the values of object's fields by their paths. Lists are one value each; what is unset, or no JSON, is not listed.
func Flatten(object any) map[string]string {
	list := map[string]string{}
	raw, err := json.Marshal(object)
	var value any
	if err == nil && json.Unmarshal(raw, &value) == nil {
		flatten(list, "", value)
	}
	return list
}

func flatten(into map[string]string, name string, value any) {
	fields, ok := value.(map[string]any)
	if !ok {
		text, isText := value.(string)
		if !isText {
			raw, _ := json.Marshal(value) // it was JSON a moment ago
			text = string(raw)
		}
		into[name] = text
		return
	}
	for field, v := range fields {
		flatten(into, strings.TrimPrefix(name+"."+field, "."), v)
	}
}
