"""A data set of the form of OULAD, small enough to read."""

from pathlib import Path

FILES = {
    "courses.csv": """\
code_module,code_presentation,module_presentation_length
AAA,2013J,268
BBB,2014B,240
""",
    "assessments.csv": """\
"code_module","code_presentation","id_assessment","assessment_type","date","weight"
"AAA","2013J","9","TMA","54","20"
"AAA","2013J","10","TMA","19","10"
"AAA","2013J","11","TMA","54","12.5"
"AAA","2013J","12","Exam","","100"
"AAA","2013J","13","CMA","300","0"
"BBB","2014B","20","Exam","","100"
"BBB","2014B","21","Exam","239","100"
""",
    "studentInfo.csv": """\
code_module,code_presentation,id_student,gender,region
AAA,2013J,11391,M,"East Anglian, Region"
BBB,2014B,11391,M,Scotland
AAA,2013J,28400,F,Scotland
""",
    "studentAssessment.csv": """\
id_assessment,id_student,date_submitted,is_banked,score
9,11391,18,0,78
20,11391,-1,1,70
9,28400,0,0,
""",
}


def write_folder(folder: Path, **changed: str) -> Path:
    """Write the files; `courses="…"` and the like replace the text of one."""
    for name, text in FILES.items():
        content = changed.get(name.removesuffix(".csv"), text)
        (folder / name).write_text(content, encoding="utf-8")
    return folder
