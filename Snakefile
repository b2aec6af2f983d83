# The workflow lives in workflow/; an include does not set the default target, so it is named here.
include: "workflow/Snakefile"


workflow.default_target = "all"
