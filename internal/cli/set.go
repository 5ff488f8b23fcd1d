package cli

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// applySet sets the field of object, a pointer to a struct, that assignment names: path=value. The path is made of JSON
// names; the value is YAML, and taken as it stands where the field is a string, so that 1e-4 stays the decimal it is.
func applySet(object any, assignment string) error {
	path, value, ok := strings.Cut(assignment, "=")
	if !ok || path == "" {
		return usageError{fmt.Errorf("--set %s: want path=value, such as training.learningRate=1e-3", assignment)}
	}
	names := strings.Split(path, ".")
	field, err := locate(reflect.ValueOf(object).Elem(), names)
	if err != nil {
		return usageError{fmt.Errorf("--set %s: %w", assignment, err)}
	}
	if err := assign(field, value); err != nil {
		return usageError{fmt.Errorf("--set %s: %s takes %s: %w", assignment, path, kindName(field.Type()), err)}
	}
	return nil
}

// locate walks down to the named field, making what is absent on the way.
func locate(v reflect.Value, names []string) (reflect.Value, error) {
	for _, name := range names {
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

func assign(field reflect.Value, value string) error {
	target := field
	if target.Kind() == reflect.Pointer && target.Type().Elem().Kind() == reflect.String {
		target.Set(reflect.New(target.Type().Elem()))
		target = target.Elem()
	}
	if target.Kind() == reflect.String {
		target.SetString(value)
		return nil
	}
	raw, err := yaml.YAMLToJSON([]byte(value))
	if err != nil {
		return err
	}
	fresh := reflect.New(field.Type())
	if err := json.Unmarshal(raw, fresh.Interface()); err != nil {
		return fmt.Errorf("%s does not fit", value)
	}
	field.Set(fresh.Elem())
	return nil
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
