package v1alpha1

// What a job's pods wear, and the name of the container that trains.
const (
	// JobLabel holds the job's name.
	JobLabel = "hrm.dev/job"
	// AttemptLabel holds the number of the attempt.
	AttemptLabel = "hrm.dev/attempt"
	// TrainerContainer is the container that trains.
	TrainerContainer = "trainer"
)

// What the jobs of a suite wear.
const (
	// SuiteLabel holds the suite's name.
	SuiteLabel = "hrm.dev/suite"
	// SuiteAxisLabelPrefix and the name of an axis make the label that holds the job's value on it.
	SuiteAxisLabelPrefix = "suite.hrm.dev/"
)
